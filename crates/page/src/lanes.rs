//! Lanes for spans of time: what overlaps is drawn one below the other.

/// The lane of each span, from the top, and how many lanes there are. Spans are half-open, from
/// their start to their end; each gets the first lane that is free by its start, in the order of
/// starting.
pub(crate) fn lanes(spans: &[(f64, f64)]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by(|&a, &b| spans[a].0.total_cmp(&spans[b].0));
    let mut lanes = vec![0; spans.len()];
    let mut ends: Vec<f64> = Vec::new();
    for index in order {
        let (start, end) = spans[index];
        let lane = ends.iter().position(|&end| end <= start).unwrap_or(ends.len());
        if lane == ends.len() {
            ends.push(end);
        } else {
            ends[lane] = end;
        }
        lanes[index] = lane;
    }
    (lanes, ends.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_gets_a_lane_of_its_own_and_a_free_lane_is_used_again() {
        let spans = [(0.0, 5.0), (3.0, 9.0), (5.0, 6.0), (7.0, 8.0), (5.5, 8.0)];
        assert_eq!(lanes(&spans), (vec![0, 1, 0, 0, 2], 3));
        assert_eq!(lanes(&[]), (vec![], 0));
    }
}
