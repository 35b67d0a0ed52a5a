import { existsSync } from "node:fs";
import { defineConfig } from "@playwright/test";

/** The Chromium in MESHPROOF_CHROMIUM, or Debian's; Playwright's own if there is neither. */
const chromium = process.env["MESHPROOF_CHROMIUM"] ?? "/usr/bin/chromium";

/** Opens generated reports in a browser. Run: `playwright test --config reports/html/playwright.config.ts`. */
export default defineConfig({
  testDir: ".",
  testMatch: "*.pw.ts",
  outputDir: "../../test-results/html",
  fullyParallel: true,
  forbidOnly: true,
  workers: 2,
  // Long, because these tests do not measure speed and the machine may be busy.
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
          // The sandbox does not work in a container or as root; the page is meshproof's own and loads nothing.
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
