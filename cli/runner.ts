/** What runs scenarios, loaded while a cluster starts: the Kubernetes client and Playwright take seconds. */

import type { startPlaywright } from "../harness/run/run.ts";

/** Starts to load; ends Playwright when it is disposed of, whatever became of it. */
export function loadRunner(...options: Parameters<typeof startPlaywright>) {
  const loaded = import("../harness/run/run.ts").then(async (harness) => ({
    choose: harness.choose,
    readProfile: harness.readProfile,
    runScenarios: harness.runScenarios,
    skipAll: harness.skipAll,
    playwright: await harness.startPlaywright(...options),
  }));
  loaded.catch(() => undefined); // thrown where it is awaited
  return {
    loaded,
    [Symbol.asyncDispose]: () =>
      loaded.then(({ playwright }) => playwright[Symbol.asyncDispose]()).catch(() => undefined),
  };
}
