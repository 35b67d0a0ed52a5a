/** What `import … from "meshproof"` gives: a run's result as its results.json has it, and a command line in this process. */

export type {
  AdmissionResult,
  Answer,
  AskedResult,
  CheckResult,
  Counts,
  RunResult,
  ScenarioResult,
  Status,
  StepResult,
} from "../harness/model/result.ts";
export { readResults } from "../reports/read.ts";
export { main } from "./program.ts";
