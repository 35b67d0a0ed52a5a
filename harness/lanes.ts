/** How many pieces of work are under way at once where nothing else is said: what `kubectl apply` and a laptop's disk bear. */
const LANES = 8;

/**
 * Like `Promise.all(items.map(work))`, but only so many at once: ten thousand scenarios must not open ten thousand files or
 * send ten thousand requests. After the first failure nothing more is begun.
 * @returns what each gave, in the order of the items
 * @throws the first failure, once nothing is under way any more
 */
export async function inLanes<T, R>(
  items: Iterable<T>,
  work: (item: T, index: number) => Promise<R>,
  lanes: number = LANES,
): Promise<R[]> {
  const waiting = [...items].entries();
  const results: R[] = [];
  const failures: unknown[] = [];
  // All lanes take from one iterator: an item is taken once.
  const lane = async (): Promise<void> => {
    for (const [index, item] of waiting) {
      try {
        results[index] = await work(item, index);
      } catch (error) {
        failures.push(error);
      }
      if (failures.length > 0) return;
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  if (failures.length > 0) throw failures[0];
  return results;
}
