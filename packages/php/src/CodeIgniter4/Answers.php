<?php

declare(strict_types=1);

namespace Sso\CodeIgniter4;

use CodeIgniter\HTTP\IncomingRequest;
use CodeIgniter\HTTP\ResponseInterface;

/** Requests and answers in the form that SsoClient has them. */
final class Answers
{
    /** @param array{status: int, headers: array<string, string>, body: string} $answer */
    public static function response(array $answer): ResponseInterface
    {
        $response = service('response');
        foreach ($answer['headers'] as $name => $value) {
            $response->setHeader($name, $value);
        }
        return $response->setStatusCode($answer['status'])->setBody($answer['body']);
    }

    /** @return array<string, mixed> what $_SERVER says, with the address behind trusted proxies */
    public static function server(IncomingRequest $request): array
    {
        return ['REMOTE_ADDR' => $request->getIPAddress()] + $_SERVER;
    }
}
