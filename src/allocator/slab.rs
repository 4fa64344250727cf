//! Values at numbered places; a place that is given back is used again.

/// No slab may be asked to hold more: the numbers are 32 bits wide.
const LIMIT: usize = 1 << 31;

/// Values at numbered places. Its memory is that of the most values it ever held.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Option<T>>,
    vacant: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            vacant: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    /// Whether that many more values may be inserted.
    pub(super) fn has_room(&self, more: usize) -> bool {
        self.places.len().saturating_add(more) <= LIMIT
    }

    /// Puts a value at a vacant place. Invariant: the caller made sure by [`Slab::has_room`] that its number exists.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(place) = self.vacant.pop() {
            if let Some(vacant) = self.get_place(place) {
                *vacant = Some(value);
            }
            return place;
        }
        let place = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        self.places.push(Some(value));
        place
    }

    pub(super) fn remove(&mut self, place: u32) -> Option<T> {
        let value = self.get_place(place)?.take()?;
        self.vacant.push(place);
        if self.vacant.len() == self.places.len() {
            self.places.clear();
            self.vacant.clear();
        }
        Some(value)
    }

    pub(super) fn at(&self, place: u32) -> Option<&T> {
        self.places.get(usize::try_from(place).ok()?)?.as_ref()
    }

    pub(super) fn at_mut(&mut self, place: u32) -> Option<&mut T> {
        self.get_place(place)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().flatten()
    }

    fn get_place(&mut self, place: u32) -> Option<&mut Option<T>> {
        self.places.get_mut(usize::try_from(place).ok()?)
    }
}
