//! Names of Kubernetes objects as upstream's converter makes them.
//!
//! Upstream: `formatToK8S`, from 0.13.11 on.

/// The longest name that upstream makes, in bytes.
const LONGEST: usize = 63;

/// A name as upstream rewrites it: cut, in lower case, `_` as `-`, and without what stands before its first letter; `None` where
/// nothing is left. What comes out may be the name of another object, and need not be a valid one.
///
/// ```
/// use ferrolb_compat::migrate::to_k8s;
/// assert_eq!(to_k8s("My_Pool").as_deref(), Some("my-pool"));
/// assert_eq!(to_k8s("9lives").as_deref(), Some("lives"));
/// assert_eq!(to_k8s("123"), None);
/// ```
#[must_use]
pub fn to_k8s(name: &str) -> Option<String> {
    if is_label(name) {
        return Some(name.to_owned());
    }
    let mut cut = String::new();
    for c in name.chars() {
        let room = LONGEST - cut.len();
        if c.len_utf8() > room {
            // Compat: the cut goes through a character, and each byte that is left becomes one of these.
            cut.extend(std::iter::repeat_n('\u{fffd}', room));
            break;
        }
        cut.push(c);
    }
    // Upstream: `strings.ToLower`, character by character.
    let lower: String = cut
        .chars()
        .map(|c| {
            let mut lower = c.to_lowercase();
            match (lower.next(), lower.next()) {
                (Some(single), None) => single,
                _ => c,
            }
        })
        .map(|c| if c == '_' { '-' } else { c })
        .collect();
    let start = lower.find(|c: char| c.is_ascii_lowercase())?;
    lower.get(start..).map(str::to_owned)
}

/// `^[a-z][-a-z0-9]{0,61}[a-z0-9]$`
fn is_label(name: &str) -> bool {
    let bytes = name.as_bytes();
    let inner = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    matches!(bytes, [b'a'..=b'z', middle @ .., b'a'..=b'z' | b'0'..=b'9'] if middle.iter().all(inner))
        && bytes.len() <= LONGEST
}

/// Whether an API server takes it as the name of a custom resource: RFC 1123's subdomain, at most 253 bytes.
///
/// ```
/// use ferrolb_compat::migrate::is_object_name;
/// assert!(is_object_name("9lives") && is_object_name("dot.ted") && is_object_name("100"));
/// assert!(!is_object_name("My_Pool") && !is_object_name("tail-") && !is_object_name("a..b"));
/// ```
#[must_use]
pub fn is_object_name(name: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(|byte| alphanumeric(*byte))
            && bytes.last().is_some_and(|byte| alphanumeric(*byte))
            && bytes
                .iter()
                .all(|byte| alphanumeric(*byte) || *byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(label)
}
