//! The traffic over time in a bounded number of samples.

use super::Sample;

/// How many samples a record has at most: more than a terminal has columns, and few enough for a line of 10 KB.
pub const SAMPLES: usize = 128;

/// The least time between two samples at first: a drain of a second is to show something.
const GAP_SECONDS: f64 = 0.05;

/// Adds `sample` where the last one is far enough away, or `must` be; thins out where there are too many.
pub(super) fn add(samples: &mut Vec<Sample>, sample: Sample, must: bool) {
    let gap = gap(samples);
    if let Some(last) = samples.last_mut()
        && sample.at - last.at < gap
        && !must
    {
        return;
    }
    if samples.len() >= SAMPLES {
        thin_out(samples);
    }
    samples.push(sample);
}

/// How far apart samples are: it doubles each time that they are thinned out, as the record itself shows.
fn gap(samples: &[Sample]) -> f64 {
    match samples {
        [first, .., last] => {
            let spans = last.at - first.at;
            let mut gap = GAP_SECONDS;
            while gap * (SAMPLES as f64) < spans {
                gap *= 2.0;
            }
            gap
        }
        _ => GAP_SECONDS,
    }
}

/// Half of them: of each two the one with more in flight, so that no peak is lost. The first stays.
fn thin_out(samples: &mut Vec<Sample>) {
    let busier = |pair: &[Sample]| match pair {
        [a, b] if b.in_flight > a.in_flight => *b,
        _ => pair[0],
    };
    let first = samples[0];
    *samples = std::iter::once(first).chain(samples[1..].chunks(2).map(busier)).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: f64, in_flight: u32) -> Sample {
        Sample { at, in_flight: Some(in_flight), idle: Some(0), users: None }
    }

    #[test]
    fn however_long_it_lasts_the_samples_are_bounded_and_span_all_of_it() {
        let mut samples = Vec::new();
        for tick in 0..100_000 {
            add(&mut samples, sample(f64::from(tick) * 0.04, 1), false);
            assert!(samples.len() <= SAMPLES);
        }
        assert!(samples.len() >= SAMPLES / 2, "{}", samples.len());
        assert!(samples[0].at < 0.001 && samples.last().unwrap().at > 3900.0);
        let widest = samples.windows(2).map(|pair| pair[1].at - pair[0].at).fold(0.0, f64::max);
        assert!(widest < 4000.0 / SAMPLES as f64 * 4.0, "{widest}");
    }

    #[test]
    fn a_peak_is_not_thinned_out() {
        let mut samples = Vec::new();
        for tick in 0..10_000 {
            let in_flight = if tick == 60 { 99 } else { 1 };
            add(&mut samples, sample(f64::from(tick) * 0.1, in_flight), false);
        }
        assert!(samples.iter().any(|sample| sample.in_flight == Some(99)));
    }

    #[test]
    fn what_must_be_seen_is_kept_however_close() {
        let mut samples = Vec::new();
        add(&mut samples, sample(1.0, 3), false);
        add(&mut samples, sample(1.001, 2), false);
        add(&mut samples, sample(1.002, 0), true);
        assert_eq!(samples.len(), 2);
    }
}
