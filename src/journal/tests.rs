//! What a list looks like.

use super::listed;

#[test]
fn a_long_list_is_cut_and_says_so() {
    assert_eq!(listed([1, 2, 3].iter()), "1, 2, 3");
    assert_eq!(listed(0..10_usize), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9");
    assert_eq!(
        listed(0..13_usize),
        "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 3 more"
    );
}
