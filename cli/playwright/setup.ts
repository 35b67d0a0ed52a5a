import type { FullConfig } from "@playwright/test";
import { readSettings } from "../../harness/run/settings.ts";
import { openGround } from "./ground.ts";

/** Playwright's global setup: starts the cluster or attaches to it, and prepares it for the scenarios. */
export default async function setUp({ workers }: FullConfig): Promise<void> {
  await openGround(readSettings(), workers);
}
