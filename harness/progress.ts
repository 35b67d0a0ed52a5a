/** Tells a person what is going on, one sentence a call; the command line decides how to draw it. */
export type Progress = (line: string) => void;
