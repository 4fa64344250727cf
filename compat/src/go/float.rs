//! Go's shortest text of a floating-point number, as Prometheus' Go client writes samples.

/// `strconv.FormatFloat(value, 'g', -1, 64)`: the shortest digits that read back as the same number, with an
/// exponent below 1e-4 and from 1e6 on.
///
/// The infinities are `+Inf` and `-Inf`, what is no number is `NaN`.
#[must_use]
pub fn format_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    // `{:e}` gives the shortest digits as `d.ddde-x`.
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let Ok(exponent) = exponent.parse::<i32>() else {
        return scientific;
    };
    // Upstream: for the shortest form Go decides as if the precision were 6, also where there are more digits.
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests;
