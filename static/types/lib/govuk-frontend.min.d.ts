// GOV.UK's script, served from node_modules under /static/<build>/lib/ (video_server/web/static.py); only what we call.

export function initAll(config?: object): void;
