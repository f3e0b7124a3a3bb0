//! Plots as SVG. Places are thousandths of the width, written as percents: nothing needs a style of its own, and everything
//! stretches with the page.

use maud::{Markup, html};
use tollgate_operate::way::Progress;

use crate::page::look;

/// The whole width.
const WHOLE: u64 = 1_000;
/// Milliseconds that are shown evenly before the scale bends: an answer takes some tens.
const EVEN: u64 = 16;

/// A scale of time that bends: seconds are as easy to see as days.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bent {
    longest: u64,
}

impl Bent {
    /// From 0 to so many milliseconds, 100 at least.
    pub(crate) fn to(milliseconds: i64) -> Self {
        Self { longest: u64::try_from(milliseconds).unwrap_or(0).max(100) }
    }

    /// The place of so many milliseconds.
    pub(crate) fn at(self, milliseconds: i64) -> u64 {
        let asked = u64::try_from(milliseconds).unwrap_or(0).min(self.longest);
        let of = |value: u64| bits(value + EVEN) - bits(EVEN);
        // Both ends keep a marker's width.
        15 + of(asked) * (WHOLE - 30) / of(self.longest).max(1)
    }

    /// Times worth a line, with their names.
    fn marks(self) -> Vec<(u64, &'static str)> {
        let all = [
            (0, "0"),
            (100, "100 ms"),
            (1_000, "1 s"),
            (10_000, "10 s"),
            (60_000, "1 min"),
            (600_000, "10 min"),
            (3_600_000, "1 h"),
            (43_200_000, "12 h"),
            (259_200_000, "3 d"),
            (2_592_000_000, "30 d"),
        ];
        let near = all
            .into_iter()
            .filter(|(milliseconds, _)| u64::try_from(*milliseconds).is_ok_and(|at| at <= self.longest));
        near.map(|(milliseconds, name)| (self.at(milliseconds), name)).collect()
    }
}

/// The logarithm to the base of 2, in thousandths, straight between powers.
fn bits(value: u64) -> u64 {
    let value = value.max(1);
    let whole = u64::from(value.ilog2());
    let power = 1_u64 << whole;
    whole * 1_000 + (value - power).saturating_mul(1_000) / power
}

/// A place as SVG wants it.
pub(crate) fn percent(place: u64) -> String {
    format!("{}.{}%", place / 10, place % 10)
}

/// The names above the rows.
pub(crate) fn axis(scale: Bent) -> Markup {
    let marks = scale.marks();
    let last = marks.len().saturating_sub(1);
    html! {
        svg.axis width="100%" height="20" aria-hidden="true" {
            @for (number, (place, name)) in marks.iter().enumerate() {
                @let anchor = if number == 0 { "start" } else if number == last && *place > 850 { "end" } else { "middle" };
                text x=(percent(*place)) y="14" text-anchor=(anchor) { (name) }
            }
        }
    }
}

/// A row of a way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Track {
    /// Where the row before it ended.
    pub(crate) from: u64,
    /// Where it ended, where something says it.
    pub(crate) at: Option<u64>,
    /// Where the next known time is, or now.
    pub(crate) until: u64,
    pub(crate) progress: Progress,
}

/// The row: the wait before it and its end; what has no time, between the times that are known.
pub(crate) fn track(scale: Bent, track: Track) -> Markup {
    let Track { from, at, until, progress } = track;
    let (class, _) = look(progress);
    let is_open = matches!(progress, Progress::Waiting | Progress::Missing);
    html! {
        svg class={ "track " (class) } width="100%" height="28" aria-hidden="true" {
            @for (place, _) in scale.marks() {
                line.grid x1=(percent(place)) x2=(percent(place)) y1="0" y2="28" {}
            }
            @match at {
                Some(at) => {
                    line.wait x1=(percent(from)) x2=(percent(at)) y1="14" y2="14" {}
                    circle.mark cx=(percent(at)) cy="14" r="6" {}
                    @if progress == Progress::Stopped {
                        svg.cross x=(percent(at)) y="14" overflow="visible" { path d="M-3-3 3 3M3-3-3 3" {} }
                    }
                }
                None if is_open => {
                    line.open x1=(percent(from)) x2=(percent(until.max(from))) y1="14" y2="14" {}
                    circle.hole cx=(percent(until.max(from))) cy="14" r="6" {}
                }
                // Some time in here.
                None => {
                    @let wide = until.saturating_sub(from);
                    @if wide > 20 { rect.within x=(percent(from)) y="9" width=(percent(wide)) height="10" rx="5" {} }
                    @else { circle.hole cx=(percent(from)) cy="14" r="5" {} }
                }
            }
        }
    }
}

/// Two amounts beneath each other, of the same scale: what was counted, where something counts it, and what was expected.
pub(crate) fn pair(counted: Option<u64>, expected: u64, most: u64) -> Markup {
    // Something is never drawn as nothing.
    let wide = |value: u64| if value == 0 { 0 } else { (value.saturating_mul(WHOLE) / most.max(1)).max(3) };
    let is_over = counted.is_some_and(|counted| counted > expected);
    html! {
        svg.pair width="100%" height="22" aria-hidden="true" {
            @if let Some(counted) = counted { rect.over[is_over] x="0" y="1" width=(percent(wide(counted))) height="9" rx="2" {} }
            rect.expected x="0" y="12" width=(percent(wide(expected))) height="9" rx="2" {}
        }
    }
}

/// A bar of a histogram: its parts from the bottom up, where it leads, and what it says.
#[derive(Debug)]
pub(crate) struct Bar {
    pub(crate) parts: Vec<(&'static str, u64)>,
    pub(crate) to: Option<String>,
    pub(crate) name: String,
}

/// The height of a histogram, in pixels.
const HEIGHT: u64 = 110;

/// Bars beside each other, of the same width.
pub(crate) fn bars(bars: &[Bar], label: &str) -> Markup {
    let sum = |bar: &Bar| bar.parts.iter().map(|(_, count)| count).sum::<u64>();
    let (most, count) =
        (bars.iter().map(sum).max().unwrap_or(0).max(1), u64::try_from(bars.len()).unwrap_or(1).max(1));
    let place = |number: usize| u64::try_from(number).unwrap_or(0).saturating_mul(100_000) / count;
    let wide = |thousandths: u64| format!("{}.{:03}%", thousandths / 1_000, thousandths % 1_000);
    // Something is never drawn as nothing.
    let height = |part: u64| if part == 0 { 0 } else { (part.saturating_mul(HEIGHT - 4) / most).max(2) };
    html! {
        svg.bars width="100%" height=(HEIGHT) role="group" aria-label={ (label) ", at most " (most) " at once" } {
            @for (number, bar) in bars.iter().enumerate() {
                @let (left, right) = (place(number), place(number + 1));
                @let width = right.saturating_sub(left);
                @if sum(bar) > 0 {
                    @let drawn = html! {
                        title { (bar.name) }
                        rect.hit x=(wide(left)) y="0" width=(wide(width)) height=(HEIGHT) {}
                        @for (class, top, tall) in stacked(&bar.parts, height) {
                            rect class=(class) x=(wide(left)) y=(top) width=(wide((width * 9 / 10).max(1))) height=(tall) {}
                        }
                    };
                    @match &bar.to {
                        Some(to) => a href=(to) aria-label=(bar.name) { (drawn) },
                        None => g role="img" aria-label=(bar.name) { (drawn) },
                    }
                }
            }
            line.base x1="0" x2="100%" y1=(HEIGHT) y2=(HEIGHT) {}
        }
    }
}

/// The parts that are something, with the top and the height of each.
fn stacked<'a>(
    parts: &'a [(&'static str, u64)],
    height: impl Fn(u64) -> u64 + 'a,
) -> impl Iterator<Item = (&'static str, u64, u64)> + 'a {
    let above = parts.iter().scan(HEIGHT, move |top, (class, part)| {
        let tall = height(*part);
        *top = top.saturating_sub(tall);
        Some((*class, *top, tall))
    });
    above.filter(|(.., tall)| *tall > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_is_further_right_and_all_is_within() {
        let scale = Bent::to(90_000);
        let places: Vec<u64> = [-1, 0, 5, 100, 1_000, 60_000, 90_000, 100_000].map(|at| scale.at(at)).into();
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!((places.first(), places.last()), (Some(&15), Some(&985)));
        assert_eq!(scale.marks().last().map(|mark| mark.1), Some("1 min"));
        assert_eq!(Bent::to(i64::MAX).at(i64::MAX), 985);
        assert_eq!(percent(985), "98.5%");
    }
}
