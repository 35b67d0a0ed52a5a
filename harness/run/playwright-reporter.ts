import type { FullResult, Reporter, TestCase, TestError, TestResult } from "@playwright/test/reporter";

/** One plain line per scenario on standard output, for the process that started Playwright. */
export default class ScenarioReporter implements Reporter {
  printsToStdio(): boolean {
    return true;
  }

  onTestEnd(test: TestCase, result: TestResult): void {
    const status =
      result.annotations.find((a) => a.type === "status")?.description ??
      (result.status === "passed" ? "passed" : "error");
    process.stdout.write(`${status} ${test.title} ${(result.duration / 1000).toFixed(1)} s\n`);
    if (status === "error") for (const error of result.errors) this.onError(error);
  }

  onError(error: TestError): void {
    process.stderr.write(`${error.message ?? error.value ?? "unknown error"}\n`);
  }

  onEnd(result: FullResult): void {
    if (result.status === "timedout") process.stderr.write("Playwright's own time limit ended the run\n");
  }
}
