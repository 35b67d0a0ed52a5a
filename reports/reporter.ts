import path from "node:path";
import type {
  FullConfig,
  FullResult,
  Reporter,
  Suite,
  TestCase,
  TestError,
  TestResult,
} from "@playwright/test/reporter";
import { errorOf, hasParent, tellParent, tellParentWhole } from "../harness/run/parent.ts";
import { createRecorder, type Gathered } from "../harness/run/recorder.ts";
import { visible } from "../harness/safe/visible.ts";
import { exitCode, pointLatest, REPORT, writeReports } from "./index.ts";

/**
 * Writes meshproof's reports of a Playwright run: `results.json`, the HTML report and all others. It reads only the tests'
 * attachments, never printed text.
 */
export default class MeshproofReporter implements Reporter {
  readonly #recorder = createRecorder();
  readonly #onInterrupt = (): void => void this.#hurry();
  #finished: Promise<Gathered | undefined> | undefined;

  /** Only `meshproof run` shows this reporter's messages; beside other reporters it prints one line at the end. */
  printsToStdio(): boolean {
    return hasParent();
  }

  onBegin(config: FullConfig, suite: Suite): void {
    this.#recorder.begin(suite, config);
    process.on("SIGINT", this.#onInterrupt);
  }

  onTestEnd(test: TestCase, result: TestResult): void {
    this.#recorder.end(test, result);
  }

  onError(error: TestError): void {
    this.#recorder.complain(error);
  }

  async onEnd(full: FullResult): Promise<{ status: FullResult["status"] } | undefined> {
    process.off("SIGINT", this.#onInterrupt);
    const gathered = await (this.#finished ??= this.#finish(full));
    // The access logs or a pod that died may have turned a passed check into a failure.
    return gathered && full.status === "passed" && exitCode(gathered.result) !== 0 ? { status: "failed" } : undefined;
  }

  /** After an interrupt, reports are written before the cluster is stopped, since the user may not wait. */
  async #hurry(): Promise<void> {
    await this.#recorder.ending();
    await (this.#finished ??= this.#finish({ status: "interrupted" })).catch(() => undefined);
  }

  async #finish(full: Pick<FullResult, "status">): Promise<Gathered | undefined> {
    const gathered = await this.#recorder.gather(full);
    if (gathered === undefined) return undefined;
    const { result, folder } = gathered;
    // The verdict is sent first, so that an error in writing does not lose it.
    const told = tellParentWhole({ kind: "result", result });
    try {
      await writeReports(result, folder);
      await pointLatest(folder, (text) => this.#note(text));
      if (!hasParent()) this.#say(`meshproof: ${path.relative("", path.join(folder, REPORT))}`);
    } catch (error) {
      if (!hasParent()) throw error;
      tellParent(errorOf(error));
    }
    await told;
    return gathered;
  }

  #note(text: string): void {
    if (hasParent()) tellParent({ kind: "note", text });
    else this.#say(`note: ${text}`);
  }

  #say(line: string): void {
    process.stdout.write(`${visible(line)}\n`);
  }
}
