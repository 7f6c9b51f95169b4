//! Placement of labels beside points, so that labels do not overlap.

use crate::figures::style;

/// Font size of labels in pixels.
pub(crate) const PIXELS: f64 = 11.0;
/// Half the height of a label, in pixels.
const HALF: i32 = 7;
/// Half the side of the square around a marker, in pixels.
const MARKER: i32 = 8;
/// Distances in pixels between a label and its point, in the order in which they are tried.
const DISTANCES: [i32; 9] = [11, 18, 26, 36, 48, 62, 78, 96, 120];
/// Minimum distance in pixels at which a line connects a point and its label.
const LEADER: i32 = 26;

/// Rectangle: left, top, right, bottom.
type Box4 = (i32, i32, i32, i32);

/// Position of a label: its left end and vertical middle, and the connecting line if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) at: (i32, i32),
    /// End of the line that connects point and label.
    pub(crate) leader: Option<(i32, i32)>,
}

/// Places a label beside each point, so that labels do not overlap. `None` for an empty label, or if there is no space.
pub(crate) fn places(points: &[((i32, i32), &str)], size: (i32, i32)) -> Vec<Option<Place>> {
    let markers: Vec<Box4> =
        points.iter().map(|((x, y), _)| (x - MARKER, y - MARKER, x + MARKER, y + MARKER)).collect();
    let mut taken: Vec<Box4> = Vec::new();
    points
        .iter()
        .enumerate()
        .map(|(own, &(point, name))| {
            let width = style::text_width(name, PIXELS);
            let free = |at: &Box4| {
                let inside = at.0 >= 2 && at.1 >= 0 && at.2 <= size.0 && at.3 <= size.1;
                let others = markers.iter().enumerate().filter(|(index, _)| *index != own).map(|(_, other)| other);
                inside && others.chain(&taken).all(|other| !overlap(at, other))
            };
            if name.is_empty() {
                return None;
            }
            let (place, at) = candidates(point, width).find(|(_, at)| free(at))?;
            taken.push(at);
            Some(place)
        })
        .collect()
}

fn overlap(a: &Box4, b: &Box4) -> bool {
    a.0 < b.2 && b.0 < a.2 && a.1 < b.3 && b.1 < a.3
}

/// Candidate positions of a label: eight directions at each distance.
fn candidates((x, y): (i32, i32), width: i32) -> impl Iterator<Item = (Place, Box4)> {
    let sides = [(1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1)];
    DISTANCES.into_iter().flat_map(move |far| {
        sides.into_iter().map(move |(right, down)| {
            let left = match right {
                1 => x + far,
                -1 => x - far - width,
                _ => x - width / 2,
            };
            let middle = y + down * (far + HALF / 2);
            let end = match right {
                1 => (left - 2, middle),
                -1 => (left + width + 2, middle),
                _ => (x, middle - down * HALF),
            };
            let place = Place { at: (left, middle), leader: (far >= LEADER).then_some(end) };
            (place, (left, middle - HALF, left + width, middle + HALF))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_crowded_points_cover_no_label_or_other_point() {
        let names: Vec<String> = (0..24).map(|index| format!("method {index}")).collect();
        let points: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(index, name)| ((200 + 9 * (index as i32 % 6), 200 + 7 * (index as i32 / 6)), &**name))
            .collect();
        let placed = places(&points, (600, 420));
        let boxes: Vec<Box4> = placed
            .iter()
            .zip(&points)
            .map(|(place, (_, name))| {
                let (left, middle) = place.expect("room for all").at;
                (left, middle - HALF, left + style::text_width(name, PIXELS), middle + HALF)
            })
            .collect();
        for (index, a) in boxes.iter().enumerate() {
            assert!(a.0 >= 0 && a.1 >= 0 && a.2 <= 600 && a.3 <= 420, "{a:?}");
            assert!(boxes[..index].iter().all(|b| !overlap(a, b)), "{index}");
            let others = points.iter().enumerate().filter(|(other, _)| *other != index);
            assert!(others.map(|(_, (point, _))| point).all(|&(x, y)| !(a.0 < x && x < a.2 && a.1 < y && y < a.3)));
        }
    }

    #[test]
    fn a_lonely_point_has_its_name_at_its_right_without_a_line() {
        let place = places(&[((100, 100), "alone")], (600, 420))[0].unwrap();
        assert_eq!(place, Place { at: (111, 100), leader: None });
    }

    #[test]
    fn without_room_there_is_no_place() {
        assert_eq!(places(&[((5, 5), "a long name")], (40, 12)), [None]);
    }
}
