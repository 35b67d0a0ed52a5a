import { closeGround } from "./ground.ts";

/** Playwright's global teardown: takes away what scenarios left, and gives the cluster back. */
export default async function tearDown(): Promise<void> {
  await closeGround();
}
