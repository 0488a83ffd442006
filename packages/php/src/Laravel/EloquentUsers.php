<?php

declare(strict_types=1);

namespace Sso\Laravel;

use Sso\LocalUsers;

/** Finds the user in the table that the program had before. */
final class EloquentUsers implements LocalUsers
{
    /** @var class-string<\Illuminate\Database\Eloquent\Model> */
    private string $model;
    /** @var array<string, string> */
    private array $columns;
    /** @var array<string, string> */
    private array $create;

    /**
     * @param class-string<\Illuminate\Database\Eloquent\Model> $model
     * @param array<string, string> $columns claim => column, of sub, local_user_id, nip and email
     * @param array<string, string> $create claim => column of a new user; empty: none is made
     */
    public function __construct(string $model, array $columns, array $create)
    {
        $this->model = $model;
        $this->columns = $columns;
        $this->create = $create;
    }

    public function find(array $claims)
    {
        $user = \SsoClient::matchLocalUser($claims, $this->columns, function (string $column, string $value) {
            return $this->model::query()->where($column, $value)->limit(3)->get();
        });
        $isLocal = strncmp($claims['sub'], 'local:', 6) === 0; // the local door: not a user of the provider
        if ($user === null && $this->create && !$isLocal) {
            $user = new $this->model();
            foreach ($this->create as $claim => $column) {
                $isVouchedFor = $claim !== 'email' || ($claims['email_verified'] ?? false) === true;
                $user->forceFill([$column => $isVouchedFor ? $claims[$claim] ?? null : null]);
            }
        }
        if ($user !== null && !$isLocal && isset($this->columns['sub'])) {
            $user->forceFill([$this->columns['sub'] => $claims['sub']]);
        }
        if ($user !== null && $user->isDirty()) {
            $user->save();
        }
        return $user;
    }
}
