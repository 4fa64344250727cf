use super::*;

#[test]
fn a_key_is_22_characters_of_base64_and_never_the_same() {
    let (one, other) = (random_key().unwrap(), random_key().unwrap());
    assert_eq!(one.len(), 22);
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    assert!(one.chars().all(is_base64), "{one}");
    assert_ne!(one, other);
}
