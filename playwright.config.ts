import "./cli/bundled.mjs";
import { defineConfig } from "@playwright/test";
import { EXTENSION } from "./cli/context.ts";
import { hasParent } from "./harness/run/parent.ts";
import { lanesFor, readSettings } from "./harness/run/settings.ts";

/**
 * The scenarios. `npx playwright test` starts a cluster for them, or uses the one that MESHPROOF_CLUSTER names (`NAME`,
 * `kind/NAME`, `existing/CONTEXT`); `meshproof run` starts Playwright with the same config and settings of its own. The HTML
 * report's own tests have a config beside them.
 */
export default defineConfig({
  testDir: "harness/run",
  testMatch: `scenarios.spec${EXTENSION}`,
  globalSetup: `./cli/playwright/setup${EXTENSION}`,
  globalTeardown: `./cli/playwright/teardown${EXTENSION}`,
  // Each worker is a lane with workloads of its own; what concerns the whole mesh has Playwright's exclusive lock.
  workers: lanesFor(readSettings()),
  fullyParallel: true,
  // A scenario repeats its rounds itself: a check that disagrees once has failed or flaked.
  retries: 0,
  // Until a scenario sets its own, which follows from its steps.
  timeout: 300_000,
  outputDir: readSettings().outputDir ?? "test-results",
  reporter: [
    ...(hasParent() ? [] : ([["list"], ["html", { open: "never" }]] as const)),
    [`./reports/reporter${EXTENSION}`],
  ],
  projects: [{ name: "scenarios" }],
});
