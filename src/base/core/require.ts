/** Lookups that cannot fail unless we made a mistake: then they throw, and no default takes the place of what is missing. */

/** The value under a key that a map must hold. Throws `RangeError` where it does not. */
export function requireValue<Key, Value>(map: ReadonlyMap<Key, Value>, key: Key): Value {
  const value = map.get(key);
  if (value === undefined) throw new RangeError(`Cannot find ${JSON.stringify(key)}: it was never entered`);
  return value;
}

/** The item at an index that a list must have. Throws `RangeError` where it does not. */
export function requireItem<Item>(items: ArrayLike<Item>, index: number): Item {
  const item = items[index];
  if (item === undefined) throw new RangeError(`Cannot find item ${index}: there are ${items.length}`);
  return item;
}
