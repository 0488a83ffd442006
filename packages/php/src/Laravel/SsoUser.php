<?php

declare(strict_types=1);

namespace Sso\Laravel;

use Illuminate\Contracts\Auth\Authenticatable;

/** A user of a program without a table of users: the claims. */
final class SsoUser implements Authenticatable
{
    /** @var array<string, mixed> */
    private array $claims;

    /** @param array<string, mixed> $claims */
    public function __construct(array $claims)
    {
        $this->claims = $claims;
    }

    /** @return mixed */
    public function __get(string $name)
    {
        return $this->claims[$name] ?? null;
    }

    public function __isset(string $name): bool
    {
        return isset($this->claims[$name]);
    }

    public function getAuthIdentifierName()
    {
        return 'sub';
    }

    public function getAuthIdentifier()
    {
        return $this->claims['sub'];
    }

    public function getAuthPasswordName()
    {
        return 'password';
    }

    public function getAuthPassword()
    {
        return '';
    }

    public function getRememberToken()
    {
        return '';
    }

    public function setRememberToken($value)
    {
    }

    public function getRememberTokenName()
    {
        return '';
    }
}
