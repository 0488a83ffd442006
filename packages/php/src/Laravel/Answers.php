<?php

declare(strict_types=1);

namespace Sso\Laravel;

use Illuminate\Http\Request;
use Illuminate\Http\Response;

/** Requests and answers in the form that SsoClient has them. */
final class Answers
{
    /** @param array{status: int, headers: array<string, string>, body: string} $answer */
    public static function response(array $answer): Response
    {
        return new Response($answer['body'], $answer['status'], $answer['headers']);
    }

    /** @return array<string, mixed> what $_SERVER says, with the address behind trusted proxies */
    public static function server(Request $request): array
    {
        return ['REMOTE_ADDR' => $request->ip()] + $request->server->all();
    }
}
