//! Two points and nothing between them: whether they differ, and how sure that is.
//!
//! Pure: reads the picture alone.

use firstbad_api::job::Outcome;

use crate::answer::{drift, end_checks, end_name};
use crate::luck;
use crate::picture::{Picture, Standing};

/// Nothing is surer than this, whatever the model of the runs says.
const LEAST_DOUBT: f64 = 1e-6;

/// The outcome once every run is in; that of ends which do not differ is found before.
pub fn outcome(picture: &Picture) -> Option<Outcome> {
    if !picture.ends_settled() {
        return None;
    }
    if let Some(drifted) = drift(picture) {
        return Some(drifted);
    }
    let shows = picture.present_ends().into_iter().find_map(|p| {
        let Standing::Present(why) = picture.standing(p) else {
            return None;
        };
        Some(format!("the {}: {why}", end_name(picture, p)))
    });
    Some(Outcome::Differs {
        why: shows.unwrap_or_default(),
        confidence: 1.0 - doubt(picture),
        checks: end_checks(picture),
    })
}

/// Chance that the runs would be so if the ends were alike. A person's word is not doubted.
fn doubt(picture: &Picture) -> f64 {
    let judged = |p: &i32| !picture.marks.contains_key(p);
    let runs = |p: i32| {
        let (shown, clean, _) = picture.tally(p);
        shown + clean
    };
    let ends = picture.absent_ends().into_iter().filter(judged);
    let Some(fewest) = ends.map(runs).min() else {
        return 0.0;
    };
    let doubt = match picture.scale() {
        // Two means of so many samples: the tail of the normal distribution is below this.
        Some(scale) => (-scale.shift().powi(2) * f64::from(fewest) / 4.0).exp(),
        None => luck::chance(picture.pooled(), fewest),
    };
    doubt.max(LEAST_DOUBT)
}
