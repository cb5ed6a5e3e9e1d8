//! Canonical JSON (TUF specification, 4.1): the bytes that are signed. Keys by code point, no white space, only `"` and
//! `\` escaped, whole numbers only.

use serde_json::Value;

use super::Error;

/// The canonical form of a value.
///
/// # Errors
/// A number that is not whole has none.
pub fn canonical(value: &Value) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    write(value, &mut bytes)?;
    Ok(bytes)
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), Error> {
    match value {
        Value::Null => out.extend(b"null"),
        Value::Bool(yes) => out.extend(if *yes { &b"true"[..] } else { b"false" }),
        Value::Number(number) if number.is_f64() => return Err(Error::Form(format!("{number} is no whole number"))),
        Value::Number(number) => out.extend(number.to_string().bytes()),
        Value::String(text) => string(text, out),
        Value::Array(values) => {
            out.push(b'[');
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(value, out)?;
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            // Whether the map keeps them sorted is a matter of somebody's feature flags.
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            out.push(b'{');
            for (at, (name, value)) in fields.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                string(name, out);
                out.push(b':');
                write(value, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        fn check(text: &str, expect: &str) {
            let value = serde_json::from_str(text).unwrap();
            assert_eq!(String::from_utf8(canonical(&value).unwrap()).unwrap(), expect);
        }
        check(" { \"b\" : [ 1, -2, true, null ], \"a\": {} } ", r#"{"a":{},"b":[1,-2,true,null]}"#);
        check(r#""a\"\\\n\u00e4/""#, "\"a\\\"\\\\\nä/\"");
        check(r#"{"ä":1,"z":2,"":3}"#, "{\"\":3,\"z\":2,\"ä\":1}");
        assert!(canonical(&serde_json::json!(1.5)).is_err());
    }
}
