/** Lists in pieces. */

/** Pieces of so many items, in order; the last one may be shorter, none is left out. */
export function splitList<Item>(items: readonly Item[], size: number): readonly (readonly Item[])[] {
  const numPieces = Math.ceil(items.length / size);
  return Array.from({ length: numPieces }, (_, index) => items.slice(index * size, (index + 1) * size));
}
