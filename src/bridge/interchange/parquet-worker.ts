/** The entry file of threads that read Parquet files: damaged ones make the library fail outside of every promise, or never end. */
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { serveTasks } from "../../base/threads/index.ts";

serveTasks(async (path: string) => parquetReadObjects({ file: await asyncBufferFromFile(path) }));
