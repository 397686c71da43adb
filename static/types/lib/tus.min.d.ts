// tus-js-client's UMD file, served under /static/<build>/lib/ (video_server/web/static.py); only what we call.

export {};

declare global {
  namespace tus {
    interface Request {
      getMethod(): string;
      getURL(): string;
      setHeader(name: string, value: string): void;
    }
    interface Response {
      getStatus(): number;
      getHeader(name: string): string | undefined;
    }
    interface Fault extends Error {
      originalResponse?: Response | null;
    }
    interface Options {
      endpoint: string | null;
      uploadUrl?: string | null;
      chunkSize: number;
      retryDelays: number[];
      storeFingerprintForResuming: boolean;
      metadata: Record<string, string>;
      onBeforeRequest(request: Request): Promise<void>;
      onAfterResponse(request: Request, response: Response): void;
      onShouldRetry(fault: Fault, attempt: number): boolean;
      onUploadUrlAvailable(): void;
      onProgress(sent: number, total: number): void;
      onSuccess(): void;
      onError(fault: Fault): void;
    }
    class Upload {
      constructor(file: File, options: Options);
      url: string | null;
      options: Options;
      start(): void;
      abort(): Promise<void>;
    }
  }
}
