import { existsSync } from "node:fs";
import { defineConfig } from "@playwright/test";

/** Debian's Chromium, or the one named; Playwright's own where neither is there. */
const chromium = process.env["MESHPROOF_CHROMIUM"] ?? "/usr/bin/chromium";

/** Opens generated reports in a browser. Run: `playwright test --config reports/html/playwright.config.ts`. */
export default defineConfig({
  testDir: ".",
  testMatch: "*.pw.ts",
  outputDir: "../../test-results/html",
  fullyParallel: true,
  forbidOnly: true,
  workers: 2,
  // Generous: nothing here is about speed, and a busy machine is no failure.
  timeout: 180_000,
  expect: { timeout: 30_000 },
  reporter: [["list"]],
  projects: [
    {
      name: "html",
      use: {
        browserName: "chromium",
        headless: true,
        colorScheme: "light",
        launchOptions: {
          ...(existsSync(chromium) ? { executablePath: chromium } : {}),
          // The sandbox needs what a container or root does not have; the page is ours and loads nothing.
          args: [
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
          ],
        },
      },
    },
  ],
});
