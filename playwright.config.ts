import { defineConfig } from "@playwright/test";

/** The scenarios, as `meshproof run` starts them. The HTML report's own tests have a config beside them. */
export default defineConfig({
  testDir: "harness/run",
  testMatch: "scenarios.pw.ts",
  // Scenarios share workloads, the gateway and mesh-wide settings, so they take turns.
  workers: 1,
  fullyParallel: false,
  retries: 0,
  // A scenario's limit follows from the run's own (scenarios.pw.ts).
  reporter: [["./harness/run/playwright-reporter.ts"]],
  outputDir: process.env["MESHPROOF_PLAYWRIGHT_OUTPUT"] ?? "test-results",
  projects: [{ name: "scenarios" }],
});
