export { attribute } from "./attribute.ts";
export { startConvergence } from "./convergence.ts";
export type { CheckOutcome, Convergence } from "./convergence.ts";
export { explainDenial } from "./explain.ts";
export { agrees, reviewDetails } from "./judge.ts";
