export { expectations, readAnswer } from "./answer.ts";
export type { ReproAnswer } from "./answer.ts";
export { readCurlLine, readRequest } from "./curl-line.ts";
export { formatAnswer } from "./format.ts";
export { slug } from "./issuers.ts";
export { readObjects, STAND_IN } from "./stand-in.ts";
export { decodeToken, readClaims } from "./token.ts";
export { translate } from "./translate.ts";
export type { Ticket, Translation } from "./translate.ts";
