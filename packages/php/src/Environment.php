<?php

declare(strict_types=1);

namespace Sso;

/** Options of SsoClient from environment variables. */
final class Environment
{
    private const NAMES = [
        'issuer', 'client_id', 'client_secret', 'redirect_uri', 'post_logout_redirect_uri', 'scope', 'data_dir', 'ca_file',
    ];

    /**
     * Return the options that are set: OIDC_ISSUER is `issuer`, OIDC_CLIENT_SECRET is `client_secret`, and so on.
     *
     * @param array<string, mixed> $more options that count more than the environment
     * @return array<string, mixed>
     */
    public static function options(array $more = []): array
    {
        $options = [];
        foreach (self::NAMES as $name) {
            $value = $_ENV['OIDC_' . strtoupper($name)] ?? getenv('OIDC_' . strtoupper($name));
            if (is_string($value) && $value !== '') {
                $options[$name] = $value;
            }
        }
        return $more + $options;
    }

    /**
     * Return a client for plain PHP.
     *
     * @param array<string, mixed> $more options that count more than the environment
     * @throws \SsoException when an option is missing
     */
    public static function client(array $more = []): \SsoClient
    {
        return new \SsoClient(self::options($more));
    }
}
