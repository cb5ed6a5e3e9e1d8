//! How a registry lets somebody in: it refuses the first request and says who gives out tokens, for that and for nothing
//! else; who has no name gets one as well, for what anybody may do.

use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use super::challenge::Challenge;
use crate::client::Client;
use crate::error::Cause;

/// Tokens have some thousand bytes at most.
const LIMIT: u64 = 64 << 10;

/// What is said to one server, and to no other.
pub(crate) struct Login {
    origin: String,
    /// Name and password, in base64.
    basic: Option<String>,
    /// What let us in the last time.
    header: Mutex<Option<String>>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(alias = "access_token")]
    token: String,
}

impl Login {
    pub(crate) fn new(origin: &str, basic: Option<String>) -> Self {
        Self { origin: origin.to_owned(), basic, header: Mutex::default() }
    }

    /// Whether everything that is asked has to be asked by TLS.
    pub(crate) fn is_private(&self) -> bool {
        self.origin.starts_with("https://")
    }

    /// Whether it is for the server of an address.
    pub(crate) fn is_for(&self, url: &str) -> bool {
        url.strip_prefix(&self.origin).is_some_and(|path| path.starts_with('/'))
    }

    /// What is to be said, once it is known.
    pub(crate) fn header(&self) -> Option<String> {
        self.header.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is to be said after this was answered.
    pub(crate) fn renew(&self, client: &Client, challenge: &str) -> Result<String, Cause> {
        let denied = |why: &str| Cause::Denied(why.to_owned());
        let header = match Challenge::parse(challenge) {
            Some(Challenge::Bearer { realm, service, scope }) => {
                let url = token_url(&realm, service.as_deref(), scope.as_deref());
                let basic = self.basic.as_ref().map(|basic| format!("Basic {basic}"));
                let bytes = client.get_once(&url, LIMIT, basic.as_deref()).map_err(|cause| match cause {
                    Cause::Status(status @ (400..=403)) => {
                        denied(&format!("{}, and gives no token ({status})", self.who()))
                    }
                    other => other,
                })?;
                let answer: Answer = serde_json::from_slice(&bytes)
                    .map_err(|_| denied("what is answered instead of a token is none"))?;
                format!("Bearer {}", answer.token)
            }
            Some(Challenge::Basic) => match &self.basic {
                Some(basic) => format!("Basic {basic}"),
                None => return Err(denied(self.who())),
            },
            None => return Err(denied("it wants something else than a name and a password, or a token")),
        };
        *self.header.lock().unwrap_or_else(PoisonError::into_inner) = Some(header.clone());
        Ok(header)
    }

    pub(crate) fn who(&self) -> &'static str {
        match self.basic {
            Some(_) => "it does not let this name and password do that",
            None => "it wants a name and a password",
        }
    }
}

/// Never with what is secret.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("origin", &self.origin).finish_non_exhaustive()
    }
}

fn token_url(realm: &str, service: Option<&str>, scope: Option<&str>) -> String {
    let mut url = realm.to_owned();
    for (name, value) in [("service", service), ("scope", scope)] {
        if let Some(value) = value {
            let separator = if url.contains('?') { '&' } else { '?' };
            url += &format!("{separator}{name}={}", encoded(value));
        }
    }
    url
}

/// RFC 3986, 2.3.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_tokens_come_from() {
        let check = |realm, service, scope, expect| assert_eq!(token_url(realm, service, scope), expect);
        check("https://a/token", None, None, "https://a/token");
        check(
            "https://a/token",
            Some("r"),
            Some("repository:a/b:pull"),
            "https://a/token?service=r&scope=repository%3Aa%2Fb%3Apull",
        );
        check("https://a/?x=1", Some("a&b c"), None, "https://a/?x=1&service=a%26b%20c");
    }

    #[test]
    fn whose_it_is() {
        let login = Login::new("https://r.example.net", Some("c2VjcmV0".to_owned()));
        assert!(login.is_for("https://r.example.net/v2/"));
        for other in
            ["https://r.example.net.evil/v2/", "http://r.example.net/v2/", "https://r.example.net:444/", "https://x/"]
        {
            assert!(!login.is_for(other), "{other}");
        }
        assert!(!format!("{login:?}").contains("c2VjcmV0"));
    }
}
