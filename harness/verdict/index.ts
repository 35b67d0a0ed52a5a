export { attribute } from "./attribute.ts";
export { startConvergence } from "./convergence.ts";
export type { CheckOutcome, Convergence } from "./convergence.ts";
export { reviewDetails } from "./judge.ts";
