//! `controller`: 0.12's flags → what the program is started with.

use std::process::ExitCode;

use ferrolb_compat::go::flag::{FlagSet, Parsed};
use ferrolb_compat::names;

use super::flags::{self, Common, Environment, OptionError};
use crate::logging::Threshold;
use crate::run;

/// What the controller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What the speaker is told too.
    pub common: Common,
    /// The memberlist secret to create; `None`: none.
    pub memberlist_secret: Option<String>,
    /// The controller's Deployment, owner of that secret; `None`: unknown.
    pub deployment: Option<String>,
    /// The `spec.loadBalancerClass` that is ours; `None`: only Services without a class.
    pub load_balancer_class: Option<String>,
}

/// The controller's flags, called by this name.
#[must_use]
pub fn flag_set(name: &str, env: Environment<'_>) -> FlagSet {
    let mut all = flags::common(env);
    all.extend([
        flags::text(
            "ml-secret-name",
            env(names::env::ML_SECRET_NAME).unwrap_or_default(),
            "name of the memberlist secret to create; empty: none",
        ),
        flags::text(
            "deployment",
            env(names::env::DEPLOYMENT).unwrap_or_default(),
            "name of the controller's Deployment, the owner of that secret",
        ),
        flags::text(
            "lb-class",
            String::new(),
            "serve Services with this spec.loadBalancerClass; empty: those without one",
        ),
    ]);
    FlagSet::new(name, all)
}

impl Options {
    /// What the flags mean.
    ///
    /// # Errors
    ///
    /// A value cannot be used; the text says which, and what to use.
    pub fn new(
        parsed: &Parsed,
        namespace_file: &dyn Fn() -> Option<String>,
    ) -> Result<Self, OptionError> {
        let text = |name| Some(parsed.text(name).to_owned()).filter(|text| !text.is_empty());
        Ok(Self {
            common: Common::new(parsed, namespace_file)?,
            memberlist_secret: text("ml-secret-name"),
            deployment: text("deployment"),
            load_balancer_class: text("lb-class"),
        })
    }
}

/// Runs the controller until a signal ends it.
pub(super) fn main(name: &str, words: &[String]) -> ExitCode {
    let parsed = match super::parse_flags(&flag_set(name, &flags::environment), words) {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    // Even a wrong level must not hide the line that says what is wrong.
    let log_level = flags::log_level(&parsed).unwrap_or(Threshold::All);
    run::program(log_level, async |process| {
        let options = Options::new(&parsed, &flags::namespace_file)?;
        run::controller::main(options, process).await
    })
}
