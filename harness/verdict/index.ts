export { attribute } from "./attribute.ts";
export { startConvergence } from "./convergence.ts";
export type { CheckOutcome, Convergence, ConvergenceState, Round } from "./convergence.ts";
export { explainedBy, needsAccessLog, reviewDetails, withDetails } from "./judge.ts";
export type { Logged } from "./judge.ts";
export { countOf, excuseScenario, statusOfScenario, statusOfStep, worst } from "./status.ts";
