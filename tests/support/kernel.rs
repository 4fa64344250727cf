//! What the kernel's routes say.

/// The next hops of the routes that `ip route show` lists, ascending.
pub(crate) fn next_hops(said: &str) -> Vec<String> {
    let words: Vec<&str> = said.split_whitespace().collect();
    let mut hops: Vec<String> = words
        .windows(2)
        .filter(|pair| pair[0] == "via")
        .map(|pair| pair[1].to_owned())
        .collect();
    hops.sort();
    hops
}
