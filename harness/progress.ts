/** Reports progress to the user, one sentence per call; the command line decides how to show it. */
export type Progress = (line: string) => void;
