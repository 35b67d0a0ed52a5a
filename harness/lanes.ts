/** How many items run at once by default: an API server and a laptop's disk can handle this many. */
const LANES = 8;

/**
 * Like `Promise.all(items.map(work))`, but with a limit: ten thousand scenarios must not open ten thousand files or
 * send ten thousand requests at once. After the first failure no further item starts.
 * @returns the results in the order of the items
 * @throws the first failure, once every running item has ended
 */
export async function inLanes<T, R>(
  items: Iterable<T>,
  work: (item: T, index: number) => Promise<R>,
  lanes: number = LANES,
): Promise<R[]> {
  const waiting = [...items].entries();
  const results: R[] = [];
  const failures: unknown[] = [];
  // All lanes share one iterator, so each item is taken once.
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
