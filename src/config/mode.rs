//! Which of the checks that depend on the BGP implementation are made.

/// What the configuration is checked for.
///
/// Upstream: two BGP implementations, of which each refuses what it cannot do. Only the speaker looks at these checks;
/// ours serves all of it in both of upstream's modes, so that the programs use [`Mode::FerroLb`]; the other two are for
/// `check` and for the migration, which must refuse what 0.12 refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// 0.12's native BGP: no BFD, no keepalive time, no IPv6 in pools of protocol bgp.
    Native,
    /// 0.12's FRR: one local AS and one router ID for all peers, one peer per address.
    Frr,
    /// FerroLB: everything that the schema can say (0.12's parser without a mode's checks).
    #[default]
    FerroLb,
}

impl Mode {
    /// All modes, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Native, Self::Frr, Self::FerroLb];

    /// The word of the command line: `native`, `frr`, `ferrolb`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Frr => "frr",
            Self::FerroLb => "ferrolb",
        }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word is none of `native`, `frr`, `ferrolb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown mode: must be native, frr or ferrolb")]
pub struct UnknownMode;

impl std::str::FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str() == word)
            .ok_or(UnknownMode)
    }
}
