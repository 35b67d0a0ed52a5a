export { readCurlLine, readRequest } from "./curl-line.ts";
export { readTicket, translated } from "./read-ticket.ts";
export { readObjects } from "./read-objects.ts";
export { exportTicket, refuseExisting } from "./write-scenario.ts";
export type { TicketOptions } from "./read-ticket.ts";
export type { Ticket, Translation } from "./ticket.ts";
export type { ReproAnswer } from "../model/ticket.ts";
