export { lintScenarios } from "./lint.ts";
export { loadScenarios } from "./load.ts";
export type { Loaded } from "./load.ts";
export { formatProblem, invalidScenarios } from "./problem.ts";
export type { Problem } from "./problem.ts";
export { selectScenarios } from "./select.ts";
export type { Selection } from "./select.ts";
export { substitute, substitutionsIn } from "./substitute.ts";
export type { OutsideScheme, Substitution, SubstitutionValues } from "./substitute.ts";
