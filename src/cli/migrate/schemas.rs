//! `ferrolb migrate schemas`: the CustomResourceDefinitions of a release.

use std::io::{self, Write};

use ferrolb_compat::crd::schema::Schemas;
use ferrolb_compat::migrate::Release;
use ferrolb_compat::yaml::emit;

use super::{DONE, parse_release};

/// Write the CustomResourceDefinitions of a MetalLB release
///
/// They have the schemas of that release, without its texts, its webhooks and the kinds that MetalLB writes itself: for trying
/// resources on an API server without MetalLB.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SchemasArgs {
    /// The release: 0.13 to 0.16 for the last of each, or 0.13.7 and the like [default: 0.16.1]
    #[arg(long, value_name = "RELEASE", value_parser = parse_release)]
    target_version: Option<Release>,
}

/// Writes them and returns the exit status.
///
/// # Errors
/// They could not be written.
pub(super) fn run(args: &SchemasArgs, stdout: &mut dyn Write) -> io::Result<u8> {
    let target = args.target_version.unwrap_or(Release::NEWEST);
    let mut out =
        format!("# The schemas of MetalLB {target}, written by ferrolb migrate schemas.\n");
    for manifest in Schemas::of(target).manifests() {
        out.push_str("---\n");
        emit::write(&mut out, &manifest);
    }
    stdout.write_all(out.as_bytes())?;
    stdout.flush()?;
    Ok(DONE)
}
