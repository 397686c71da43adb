// signature_pad, served from node_modules under /static/<build>/lib/ (video_server/web/static.py); only what we call.

export interface Point {
  x: number;
  y: number;
  pressure: number;
  time: number;
}

export default class SignaturePad extends EventTarget {
  constructor(canvas: HTMLCanvasElement, options?: object);
  clear(): void;
  isEmpty(): boolean;
  toData(): { points: Point[] }[];
  fromData(groups: { points: Point[] }[]): void;
  on(): void;
  off(): void;
}
