/** Which statistics a summary holds. A file of its own, since lists of runs read it and nothing else of the records. */

/** 1 had bootstrap intervals and measured on half of the tasks. Those of earlier versions are computed anew. */
export const statisticsVersion = 2;
