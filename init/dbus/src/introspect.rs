//! What an object says of itself, out of the same tables that answer.

use crate::interface::{Change, Facet};

const HEAD: &str = "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n\
\"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n<node>\n";

/// A method and the signatures of its arguments in and out.
type Arguments = (&'static str, &'static str, &'static str);

/// Interfaces that every object has.
const STANDARD: [(&str, &[Arguments]); 3] = [
    ("org.freedesktop.DBus.Peer", &[("Ping", "", ""), ("GetMachineId", "", "s")]),
    ("org.freedesktop.DBus.Introspectable", &[("Introspect", "", "s")]),
    ("org.freedesktop.DBus.Properties", &[("Get", "ss", "v"), ("GetAll", "s", "a{sv}"), ("Set", "ssv", "")]),
];

/// The document of an object with these interfaces, and with these names below it.
pub fn document(facets: &[Box<dyn Facet>], children: &[String]) -> String {
    let mut text = HEAD.to_owned();
    for (name, methods) in STANDARD {
        text += &format!(" <interface name=\"{name}\">\n");
        methods.iter().for_each(|(name, input, output)| text += &method(name, input, output));
        if name == "org.freedesktop.DBus.Properties" {
            text += &signal("PropertiesChanged", "sa{sv}as");
        }
        text += " </interface>\n";
    }
    for facet in facets {
        text += &format!(" <interface name=\"{}\">\n", facet.name());
        facet.properties().iter().for_each(|(name, signature, change)| text += &property(name, signature, *change));
        facet.methods().iter().for_each(|m| text += &method(m.name, m.input, m.output));
        facet.signals().iter().for_each(|(name, signature)| text += &signal(name, signature));
        text += " </interface>\n";
    }
    children.iter().for_each(|name| text += &format!(" <node name=\"{name}\"/>\n"));
    text + "</node>\n"
}

fn method(name: &str, input: &str, output: &str) -> String {
    let arguments = |signature: &str, direction: &str| -> String {
        let one = |part: &str| format!("   <arg type=\"{part}\" direction=\"{direction}\"/>\n");
        parts(signature).into_iter().map(one).collect()
    };
    format!("  <method name=\"{name}\">\n{}{}  </method>\n", arguments(input, "in"), arguments(output, "out"))
}

fn signal(name: &str, signature: &str) -> String {
    let arguments: String = parts(signature).into_iter().map(|part| format!("   <arg type=\"{part}\"/>\n")).collect();
    format!("  <signal name=\"{name}\">\n{arguments}  </signal>\n")
}

fn property(name: &str, signature: &str, change: Change) -> String {
    let (change, access) = match change {
        Change::Emits => ("true", "read"),
        Change::Const => ("const", "read"),
        Change::Silent => ("false", "read"),
        Change::Written => ("false", "readwrite"),
    };
    format!(
        "  <property name=\"{name}\" type=\"{signature}\" access=\"{access}\">\n   <annotation \
         name=\"org.freedesktop.DBus.Property.EmitsChangedSignal\" value=\"{change}\"/>\n  </property>\n"
    )
}

/// A signature's complete types.
fn parts(signature: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in signature.char_indices() {
        match c {
            '(' | '{' => depth += 1,
            ')' | '}' => depth -= 1,
            _ => {}
        }
        // An array goes on with what it is an array of.
        if depth == 0 && c != 'a' {
            parts.push(&signature[start..=at]);
            start = at + 1;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_have_parts() {
        let check = |signature, expect: &[&str]| assert_eq!(parts(signature), expect, "{signature}");
        check("ssa(sv)a(sa(sv))", &["s", "s", "a(sv)", "a(sa(sv))"]);
        check("a{sv}", &["a{sv}"]);
        check("aayu", &["aay", "u"]);
        check("", &[]);
    }

    #[test]
    fn a_document_names_what_is_below() {
        let text = document(&[], &["unit".to_owned()]);
        assert!(text.contains("<node name=\"unit\"/>") && text.contains("<method name=\"GetAll\">"), "{text}");
        assert_eq!(text.matches("<interface").count(), text.matches("</interface>").count());
    }
}
