import { closeGround } from "./ground.ts";

/** Playwright's global teardown: removes the scenarios' remains, and releases the cluster. */
export default async function tearDown(): Promise<void> {
  await closeGround();
}
