import { defineConfig } from "@playwright/test";

/** The scenarios, as `meshproof run` starts them. The HTML report's own tests have a config beside them. */
export default defineConfig({
  testDir: "harness/run",
  testMatch: "scenarios.pw.ts",
  // Scenarios share workloads, the gateway and mesh-wide settings, so they take turns.
  workers: 1,
  fullyParallel: false,
  retries: 0,
  // Every wait inside has a limit of its own that explains itself; this one only ends a run that hangs.
  timeout: 180_000,
  reporter: [["./harness/run/playwright-reporter.ts"]],
  outputDir: process.env["MESHPROOF_PLAYWRIGHT_OUTPUT"] ?? "test-results",
  projects: [{ name: "scenarios" }],
});
