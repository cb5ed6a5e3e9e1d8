//! Values of properties by the types that they have.

use serde::de::DeserializeOwned;
use serde_json::Value;
use zbus::Variant;

use crate::fault::{self, Fault};

/// There is no such property, or none that can be set.
pub fn unknown(name: &str) -> Fault {
    Fault::new(fault::PROPERTY_READ_ONLY, format!("Cannot set property {name}, or unknown property."))
}

/// A property does not have a value of that type.
pub fn mistyped(name: &str) -> Fault {
    Fault::invalid(format!("Property {name} has a value of a wrong type."))
}

/// A value of the type that a property has.
pub fn get<T: Take>(name: &str, value: &Variant<'_>) -> Result<T, Fault> {
    T::take(value).ok_or_else(|| mistyped(name))
}

/// A value that is one of systemd's words.
pub fn word<T: DeserializeOwned>(name: &str, value: &Variant<'_>) -> Result<T, Fault> {
    let text: String = get(name, value)?;
    let invalid = || Fault::invalid(format!("Invalid {name} setting: {text}"));
    serde_json::from_value(Value::from(text.as_str())).map_err(|_| invalid())
}

pub trait Take: Sized {
    fn take(value: &Variant<'_>) -> Option<Self>;
}

macro_rules! take {
    ($($type:ty, $variant:pat => $value:expr;)*) => {
        $(impl Take for $type {
            fn take(value: &Variant<'_>) -> Option<Self> {
                match value { $variant => Some($value), _ => None }
            }
        })*
    };
}

take! {
    bool, Variant::Bool(value) => *value;
    u32, Variant::U32(value) => *value;
    i32, Variant::I32(value) => *value;
    u64, Variant::U64(value) => *value;
    String, Variant::Str(value) => value.to_string();
}

impl<T: Take> Take for Vec<T> {
    fn take(value: &Variant<'_>) -> Option<Self> {
        let Variant::Array(list) = value else { return None };
        list.iter().map(T::take).collect()
    }
}

impl Take for u8 {
    fn take(value: &Variant<'_>) -> Option<Self> {
        if let Variant::U8(value) = value { Some(*value) } else { None }
    }
}
