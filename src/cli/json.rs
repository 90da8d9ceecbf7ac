//! JSON for programs.
//!
//! Owns the writer. Paths and names are bytes here: what is no UTF-8 is
//! written as the lone surrogates that Python's `os.fsdecode` makes of it
//! (PEP 383), so `os.fsencode(json.loads(…))` gives the bytes back. The text
//! itself is always ASCII.

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    Null,
    Truth(bool),
    Number(u64),
    Text(Vec<u8>),
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

impl Json {
    /// Text from anything made of bytes.
    pub fn text(bytes: impl AsRef<[u8]>) -> Json {
        Json::Text(bytes.as_ref().to_vec())
    }

    /// The document, with a line for each value and an end of line.
    pub fn render(&self) -> Vec<u8> {
        let mut out = String::new();
        self.write(&mut out, 0);
        out.push('\n');
        out.into_bytes()
    }

    fn write(&self, out: &mut String, depth: usize) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Truth(b) => out.push_str(if *b { "true" } else { "false" }),
            Json::Number(n) => out.push_str(&n.to_string()),
            Json::Text(bytes) => quote(out, bytes),
            Json::List(items) => nest(out, depth, ['[', ']'], items, |out, item| item.write(out, depth + 1)),
            Json::Object(items) => nest(out, depth, ['{', '}'], items, |out, (name, value)| {
                quote(out, name.as_bytes());
                out.push_str(": ");
                value.write(out, depth + 1);
            }),
        }
    }
}

impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Json {
        value.map_or(Json::Null, Into::into)
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Json {
        Json::Truth(value)
    }
}

impl From<u64> for Json {
    fn from(value: u64) -> Json {
        Json::Number(value)
    }
}

impl From<&str> for Json {
    fn from(value: &str) -> Json {
        Json::text(value)
    }
}

fn nest<T>(out: &mut String, depth: usize, [open, close]: [char; 2], items: &[T], each: impl Fn(&mut String, &T)) {
    out.push(open);
    for (i, item) in items.iter().enumerate() {
        out.push_str(if i == 0 { "\n" } else { ",\n" });
        (0..=depth).for_each(|_| out.push_str("  "));
        each(out, item);
    }
    if !items.is_empty() {
        out.push('\n');
        (0..depth).for_each(|_| out.push_str("  "));
    }
    out.push(close);
}

fn quote(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                ' '..='~' => out.push(c),
                _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|u| out.push_str(&format!("\\u{u:04x}"))),
            }
        }
        chunk.invalid().iter().for_each(|b| out.push_str(&format!("\\udc{b:02x}")));
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value() {
        let value = Json::Object(vec![
            ("a", Json::List(vec![1.into(), Json::Null, Some(2).into()])),
            ("b", Json::text(b"q\"\\\n\x01\xff \xc3\xa9 \xf0\x9f\x90\x8d")),
            ("c", Json::List(vec![])),
        ]);
        let text = String::from_utf8(value.render()).unwrap();
        let want = r#"{
  "a": [
    1,
    null,
    2
  ],
  "b": "q\"\\\n\u0001\udcff \u00e9 \ud83d\udc0d",
  "c": []
}
"#;
        assert_eq!(text, want);
    }
}
