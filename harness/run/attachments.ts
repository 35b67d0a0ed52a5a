/** Names of the attachments of a scenario's test that our own reporter reads. */

/** What was found, as JSON. */
export const RESULT = "result";

/** The pods before and after the scenario, as JSON. */
export const PODS = "pods";
