export { explainRequest, trustDomainOf } from "./explain.ts";
export type { OracleRequest } from "./types.ts";
