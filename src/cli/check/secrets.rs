//! Where a text has its passwords.

use std::ops::Range;

use ferrolb_compat::yaml::{Content, Document, Node};

/// Where passwords are: the values of keys that contain `password`, and where the text is no YAML, whatever follows
/// such a word on its line.
pub(super) fn secrets_in(text: &str) -> Vec<Range<usize>> {
    let mut secrets = Vec::new();
    match Document::parse_all(text) {
        Ok(documents) => {
            for document in &documents {
                for node in document.nodes() {
                    secrets_of(text, document, node, &mut secrets);
                }
            }
        }
        Err(_) => {
            let mut offset = 0;
            for line in text.split_inclusive('\n') {
                let end = offset + line.trim_end().len();
                let lower = line.to_ascii_lowercase();
                let word = lower.find("password");
                // The key's own line, and a line below it that holds the value of a block scalar is out of reach.
                if let Some(colon) =
                    word.and_then(|word| Some(word + lower.get(word..)?.find(':')?))
                {
                    secrets.push((offset + colon + 1).min(end)..end);
                }
                offset += line.len();
            }
        }
    }
    secrets
}

/// The values of a mapping's secret keys.
fn secrets_of(text: &str, document: &Document, node: &Node, secrets: &mut Vec<Range<usize>>) {
    let Content::Mapping(pairs) = &node.content else {
        return;
    };
    let is_secret = |key: &str| key.to_ascii_lowercase().contains("password");
    let values = pairs
        .iter()
        .filter(|(key, _)| document.text(*key).is_some_and(is_secret))
        .filter_map(|(_, value)| document.resolved(*value));
    for value in values {
        let span = value.place.span();
        // A place covers one line, a collection's or a long text's at most the first: what goes on below is hidden up to the
        // end of the paragraph that is indented deeper than the key.
        let whole = text.get(span.clone()).unwrap_or_default();
        let goes_on = match &value.content {
            Content::Scalar(scalar, _) => whole.len() < scalar.len(),
            Content::Sequence(_) | Content::Mapping(_) => true,
            Content::Alias(_) => false,
        };
        let end = if goes_on {
            end_of_block(text, span.start)
        } else {
            span.end
        };
        secrets.push(span.start..end);
    }
}

/// The end of the lines that are indented at least as deep as the one of an offset, which is inside a value.
fn end_of_block(text: &str, offset: usize) -> usize {
    let line_start = text
        .get(..offset)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |newline| newline + 1);
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '-']).len();
    let rest = text.get(line_start..).unwrap_or_default();
    let least = rest.lines().next().map_or(0, indent);
    let mut end = line_start;
    for (number, line) in rest.split_inclusive('\n').enumerate() {
        let blank = line.trim().is_empty();
        if number > 0 && !blank && indent(line) < least.max(1) {
            break;
        }
        end += line.len();
    }
    end
}
